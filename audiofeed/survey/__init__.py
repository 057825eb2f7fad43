"""A survey of a corpus, `audiofeed scan`: what lies in a folder or manifest, what is bad, what a batch would cost."""
