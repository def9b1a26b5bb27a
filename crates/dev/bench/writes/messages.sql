-- Adds a message to a session of the busiest account: one transaction of pgbench.
\set session random(1, 10000)
INSERT INTO chat_messages (session_id, role, content)
VALUES (md5('session 3 ' || :session)::uuid, 'visitor', 'Where is my order, and can I still change the address?');
