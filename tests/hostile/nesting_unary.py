# expect: syntax|other_exception|crash|type|memory_limit
# repeat: - 100000
x = 1
