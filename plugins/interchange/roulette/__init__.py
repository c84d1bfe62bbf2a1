"""
Pairing colleagues: rounds are drawn, meetings booked, and a bot lets people move them.

``people``, ``rounds`` and ``talk`` keep what is known; ``drawing``, ``booking`` and ``telling`` make a round happen;
``dialogue`` and ``moves`` answer what people say to the bot; ``upkeep`` looks after it daily.
"""
