# expect: other_exception
class Loop:
    def __repr__(self):
        return repr(self)


repr(Loop())
