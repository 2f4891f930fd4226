# expect: no_final_object|memory_limit|syntax
# repeat-line: x = [1, 2, 3] 200000
