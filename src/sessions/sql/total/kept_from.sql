CASE WHEN EXISTS (SELECT FROM chat_session_counted WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
     -- The months after the one with the first whole day, the rest of that month, and the time before that day.
     THEN (SELECT coalesce(sum(n), 0)::bigint FROM (/* kept rows */) kept WHERE month > /* first day */)
          + (SELECT coalesce(sum(u.n), 0)::bigint
              FROM (/* kept rows */) kept, unnest(days[date_part('day', /* first day */)::integer:]) u (n)
              WHERE month = date_trunc('month', /* first day */)::date)
          -- OFFSET 0: by the dates alone, and not also by an index of the whole widget.
          + (SELECT count(*) FROM (
               SELECT widget_id, status FROM chat_sessions
               WHERE user_id = $1 AND created_at >= /* from */ AND created_at < /* first day */ AT TIME ZONE 'UTC'
               OFFSET 0) part WHERE true /* key filters */)
     ELSE (SELECT count(*) FROM chat_sessions WHERE user_id = $1 /* filters */) END
