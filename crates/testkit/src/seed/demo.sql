-- The demo account: three widgets and 30 sessions, 24 of them active. The newest active one is the session of the
-- contract's example.
insert into users (id, email) values ('11111111-1111-4111-8111-111111111111', 'demo@example.com');

insert into chat_widgets (id, user_id, name) values
  ('d4e5f6a7-b8c9-0d1e-2f3a-456789bcdef0', '11111111-1111-4111-8111-111111111111', 'Support Widget'),
  ('d4e5f6a7-b8c9-0d1e-2f3a-456789bcdef1', '11111111-1111-4111-8111-111111111111', 'Sales Widget'),
  ('d4e5f6a7-b8c9-0d1e-2f3a-456789bcdef2', '11111111-1111-4111-8111-111111111111', null);

insert into chat_sessions (id, widget_id, user_id, visitor_id, visitor_name, visitor_email, status, page_url, created_at) values
  ('e5f6a7b8-c9d0-1e2f-3a4b-567890cdef12', 'd4e5f6a7-b8c9-0d1e-2f3a-456789bcdef0', '11111111-1111-4111-8111-111111111111',
   'v_abc123def456', 'John', 'john@example.com', 'active', 'https://example.com/pricing', '2024-01-15 10:30:00+00');
insert into chat_messages (session_id, role, content, created_at)
select 'e5f6a7b8-c9d0-1e2f-3a4b-567890cdef12', role, content, timestamptz '2024-01-15 10:30:00+00' + at::interval
from (values
  ('0 min', 'visitor', 'Hi! Does the team plan include the API?'),
  ('1 min', 'agent',   'Hello! Yes, every paid plan does.'),
  ('3 min', 'visitor', 'And how many seats are in it?'),
  ('4 min', 'agent',   'Five, and you can add more at any time.'),
  ('9 min', 'visitor', 'Is there a discount for a year?'),
  ('11 min', 'agent',  'Two months are free when you pay by the year.'),
  ('12 min', 'agent',  'The pricing page has a switch for it at the top.'),
  ('15 min', 'visitor', 'Thanks, that helps!')) as messages (at, role, content);

-- The other sessions, one every seven hours before it. Every third visitor has a name, and every fifth session is
-- closed.
insert into chat_sessions (id, widget_id, user_id, visitor_id, visitor_name, visitor_email, status, page_url, created_at)
select md5('demo session ' || n)::uuid,
       ('d4e5f6a7-b8c9-0d1e-2f3a-456789bcdef' || n % 3)::uuid, '11111111-1111-4111-8111-111111111111',
       'v_' || left(md5('demo visitor ' || n), 12),
       case when n % 3 = 0 then 'Visitor ' || n end, case when n % 3 = 0 then 'visitor' || n || '@example.com' end,
       case when n % 5 = 3 then 'closed' else 'active' end,
       'https://example.com/' || (array['', 'pricing', 'docs', 'contact'])[1 + n % 4],
       timestamptz '2024-01-15 10:00:00+00' - n * interval '7 hours'
from generate_series(1, 29) as n;
insert into chat_messages (session_id, role, content, created_at)
select md5('demo session ' || n)::uuid, case when m % 2 = 0 then 'visitor' else 'agent' end,
       (array['Hello, is anybody there?', 'Yes! How can I help?', 'Where do I find my invoices?',
              'Under Settings, Billing.', 'Found them, thank you.', 'You are welcome!'])[1 + m],
       timestamptz '2024-01-15 10:00:00+00' - n * interval '7 hours' + m * interval '90 seconds'
from generate_series(1, 29) as n, generate_series(0, n % 6) as m;

-- A trigger has set `last_message_at` to now.
update chat_sessions set last_message_at =
  (select max(created_at) from chat_messages where session_id = chat_sessions.id)
where user_id = '11111111-1111-4111-8111-111111111111';
