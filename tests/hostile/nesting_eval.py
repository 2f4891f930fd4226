# expect: refused
# expect-nofilter: syntax|other_exception|memory_limit|crash
eval("(" * 100000 + ")" * 100000)
