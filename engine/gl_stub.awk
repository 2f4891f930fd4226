# Writes the C source of one stub library: lib=libGL.so.1 takes the names gl*, any other takes X*.
BEGIN {
	want = lib ~ /^libGL/ ? "^gl" : "^X"
	print "/* Generated from engine/gl_stub.syms. */"
	print "#include <stdlib.h>"
	print "#include <string.h>"
	print "#include <unistd.h>"
	print "static _Noreturn void left_out(const char *name)"
	print "{"
	print "\tstatic const char why[] = \": called, but this install leaves " lib " out\\n\";"
	print "\tif (write(2, name, strlen(name)) >= 0 && write(2, why, sizeof(why) - 1) >= 0)"
	print "\t\tabort();"
	print "\tabort();"
	print "}"
}
$1 ~ want { printf "void %s(void);\nvoid %s(void) { left_out(\"%s\"); }\n", $1, $1, $1 }
