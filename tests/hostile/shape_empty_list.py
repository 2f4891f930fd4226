# expect: empty_shape
fixture = []
