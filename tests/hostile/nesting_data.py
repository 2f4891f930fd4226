# expect: other_exception|wall_limit|not_a_shape|type
x = []
for n in range(200000):
    x = [x]
fixture = x
