"""Answers whose ids cannot be invented: the answer format and the trie of catalog ids, enforced on each token."""
