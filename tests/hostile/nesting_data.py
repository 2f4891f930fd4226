# expect: other_exception|wall_limit|not_a_shape|type
# wall: 10
x = []
for n in range(200000):
    x = [x]
fixture = x
