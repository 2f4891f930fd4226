# expect: syntax|no_final_object|other_exception
# nest: if 1: 150
