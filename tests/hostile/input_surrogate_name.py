# expect: name
fixture = Åé
