# expect: syntax
# repeat: [ 3000
x =
