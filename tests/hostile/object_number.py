# expect: not_a_shape
fixture = 42
