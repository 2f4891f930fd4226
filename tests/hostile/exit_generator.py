# expect: other_exception
raise GeneratorExit
