-- list-chat-sessions: the total alone
SELECT /* total */ AS total
