# expect: refused
# expect-nofilter: no_final_object
# contains: exec
exec("x = 1")
