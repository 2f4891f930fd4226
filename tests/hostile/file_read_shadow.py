# expect: refused
# expect-nofilter: refused
# contains-nofilter: Permission
text = open("/etc/shadow").read()
print("BREACH", text)
