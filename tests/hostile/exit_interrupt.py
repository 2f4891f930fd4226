# expect: other_exception
raise KeyboardInterrupt
