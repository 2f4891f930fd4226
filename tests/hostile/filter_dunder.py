# expect: refused
# expect-nofilter: ok|no_final_object
# contains: __subclasses__
classes = ().__class__.__bases__[0].__subclasses__()
