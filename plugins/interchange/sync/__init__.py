"""
Spinoco's files, brought to a storage: each page is written down before its first file, each file stored once.

Kinds of effects: ``page`` (received: what it held) and ``page_done`` (all of it dealt with, and the next page asked
for); ``file`` (fetched, sound, stored), ``name`` (which file a stored name belongs to) and ``deletion`` (of an original
at Spinoco).
"""
