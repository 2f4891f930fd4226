# expect: syntax|other_exception|attribute|name|crash
# repeat: .a 100000
x = 1
