# expect: not_a_shape
fixture = None
