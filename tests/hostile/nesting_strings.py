# expect: syntax
# repeat: f"{ 2000
x =
