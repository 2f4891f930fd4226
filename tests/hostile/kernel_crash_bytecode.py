# expect: refused|crash|other_exception|attribute|type
# expect-nofilter: crash|other_exception|type|value|wall_limit|memory_limit
# wall: 2
def f():
    pass


f.__code__ = f.__code__.replace(co_code=bytes([100, 255] * 20), co_stacksize=0, co_consts=())
f()
