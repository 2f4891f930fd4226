# expect: syntax
# repeat: ( 100000
x =
