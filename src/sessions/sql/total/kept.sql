CASE WHEN EXISTS (SELECT FROM chat_session_counted WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals)
     THEN (SELECT coalesce(sum(n), 0)::bigint FROM (/* kept rows */) kept)
     ELSE (SELECT count(*) FROM chat_sessions WHERE user_id = $1 /* filters */) END
