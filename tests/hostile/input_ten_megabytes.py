# expect: no_final_object|memory_limit|wall_limit
# expect-watched: bad_input
# wall: 4
# repeat-line: # a comment that says nothing at all, over and over again 170000
