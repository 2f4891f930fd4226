# expect: value
raise ValueError("\ud800\udfff \x00 \x1b[31m \u202e")
