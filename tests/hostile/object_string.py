# expect: not_a_shape
fixture = "a box"
