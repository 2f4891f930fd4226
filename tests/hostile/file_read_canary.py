# expect: refused
# expect-nofilter: refused
print("BREACH", open("@CANARY@").read())
