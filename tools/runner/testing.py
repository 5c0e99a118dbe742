ACCEPTED = ("T",)
def main(settings):
    return 0
