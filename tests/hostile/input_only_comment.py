# expect: no_final_object
