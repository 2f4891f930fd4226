# expect: refused
# expect-nofilter: refused
print("BREACH", open("/etc/passwd").read())
