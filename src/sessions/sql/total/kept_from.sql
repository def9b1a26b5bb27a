(SELECT CASE WHEN is_counted
             -- The months after the one with the first whole day, and the rest of that month.
             THEN (SELECT coalesce(sum(CASE WHEN month > /* first day */ THEN n ELSE (
                            SELECT sum(day) FROM unnest(days[date_part('day', /* first day */)::integer:]) day) END), 0)::bigint
                    FROM (/* kept rows */) kept WHERE month >= date_trunc('month', /* first day */)::date)
             ELSE 0 END
        -- The time before that day, or all of it. OFFSET 0: by the dates alone, and not also by an index of the whole widget.
        + (SELECT count(*) FROM (
             SELECT widget_id, status FROM chat_sessions
             WHERE user_id = $1 AND created_at >= /* from */
               AND created_at <= CASE WHEN is_counted THEN /* first day */ AT TIME ZONE 'UTC' - interval '1 microsecond'
                                      ELSE 'infinity' END
             OFFSET 0) part WHERE true /* key filters */)
  FROM (SELECT EXISTS (
          SELECT FROM chat_session_counted
          WHERE user_id IN ($1, '00000000-0000-0000-0000-000000000000') AND has_totals) AS is_counted
        OFFSET 0) account)
