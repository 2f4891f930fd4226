# expect: syntax|other_exception|no_final_object|crash
# repeat: lambda: 20000
x =
