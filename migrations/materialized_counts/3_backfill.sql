-- no-transaction
-- Backfills what the triggers of the first two files maintain from now on, alongside live traffic, and reports its progress.
--
-- It commits as it goes and continues after an interruption. Each CALL at the end can also run by itself and repairs what is
-- wrong: the first recomputes every session with `again => true`, the second always adds what the counts lack.

CREATE OR REPLACE PROCEDURE backfill_chat_messages(batch integer DEFAULT 1000, again boolean DEFAULT false)
LANGUAGE plpgsql AS $$
DECLARE
  batch_max CONSTANT integer := 10000;
  report_every CONSTANT interval := '5 s';
  todo bigint;
  done bigint := 0;
  last uuid := '00000000-0000-0000-0000-000000000000';
  ids uuid[];
  reported timestamptz := clock_timestamp();
BEGIN
  IF batch NOT BETWEEN 1 AND batch_max THEN
    RAISE EXCEPTION 'batch must be 1 to % sessions', batch_max;
  END IF;
  PERFORM counts_check_row_security();
  SELECT count(*) INTO todo FROM chat_sessions WHERE again OR message_count IS NULL;
  RAISE NOTICE 'messages: % sessions to backfill', todo;
  COMMIT;
  LOOP
    -- The statement after the locks must see everything that was committed before them.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'the backfill needs READ COMMITTED, not %', upper(current_setting('transaction_isolation'));
    END IF;
    ids := ARRAY(SELECT id FROM chat_sessions WHERE id > last AND (again OR message_count IS NULL)
                 ORDER BY id LIMIT batch FOR NO KEY UPDATE);
    EXIT WHEN ids = '{}';
    UPDATE chat_sessions s SET
      message_count = (SELECT count(*) FROM chat_messages m WHERE m.session_id = s.id),
      (last_message, last_message_created_at, last_message_id) = (
        SELECT m.content, m.created_at, m.id FROM chat_messages m
        WHERE m.session_id = s.id ORDER BY m.created_at DESC, m.id DESC LIMIT 1)
    WHERE s.id = ANY (ids);
    COMMIT;
    done := done + cardinality(ids);
    last := ids[cardinality(ids)];
    IF clock_timestamp() > reported + report_every THEN
      RAISE NOTICE 'messages: % of % sessions, % %%', done, todo, least(100, round(100.0 * done / greatest(todo, 1)));
      reported := clock_timestamp();
    END IF;
  END LOOP;
  RAISE NOTICE 'messages: % sessions done', done;
END
$$;

-- Counts or folds one account, or counts all accounts without a row in chat_session_counted if the account is NULL.
--
-- A session and its count commit together, so in every snapshot the difference between an account's sessions and its counts
-- is what existed before the triggers. One statement computes that difference in one snapshot and adds it, so no writer waits.
-- A second one adds to the totals what they lack of slot -1.
CREATE OR REPLACE FUNCTION counts_run_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  everybody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
  fold_max CONSTANT integer := 1000;
  accounts CONSTANT text := CASE WHEN NEW.account IS NULL
    THEN 'user_id NOT IN (SELECT user_id FROM chat_session_counted WHERE has_totals)'
    ELSE format('user_id = %L', NEW.account) END;
  rows tid[];
BEGIN
  IF NEW.task = 'fold' THEN
    rows := ARRAY(SELECT ctid FROM chat_session_counts WHERE user_id = NEW.account AND slot >= 0
                  LIMIT fold_max FOR UPDATE SKIP LOCKED);
    PERFORM counts_fold_rows(rows);
    RETURN CASE WHEN cardinality(rows) > 0 THEN NEW END;
  END IF;
  EXECUTE replace($sql$
    INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
    SELECT user_id, month, widget_id, status, -1, coalesce(sum(k) FILTER (WHERE d = 0), 0), counts_days(array_agg(d), array_agg(k::integer))
    FROM (
      SELECT user_id, month, widget_id, status, d, sum(k) AS k
      FROM (
        SELECT user_id, counts_month(created_at), widget_id, coalesce(status, ''), v.d, count(*)
        FROM chat_sessions, LATERAL (VALUES (0), (counts_day(created_at))) v (d) WHERE /* accounts */ GROUP BY 1, 2, 3, 4, 5
        UNION ALL
        SELECT user_id, month, widget_id, status, (place - 1)::integer, -counted
        FROM chat_session_counts, unnest(n || days::bigint[]) WITH ORDINALITY u (counted, place) WHERE /* accounts */
      ) actual_less_counted (user_id, month, widget_id, status, d, k)
      GROUP BY 1, 2, 3, 4, 5 HAVING sum(k) <> 0) lacking
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (user_id, widget_id, month, status, slot)
    DO UPDATE SET n = c.n + excluded.n, days = counts_add_days(c.days, excluded.days)
    $sql$, '/* accounts */', accounts);
  EXECUTE replace($sql$
    INSERT INTO chat_session_totals AS t (user_id, month, status, n, days)
    SELECT user_id, month, status, coalesce(sum(k) FILTER (WHERE d = 0), 0), counts_days(array_agg(d), array_agg(k::integer))
    FROM (
      SELECT user_id, month, status, d, sum(k) AS k
      FROM (
        SELECT user_id, month, status, (place - 1)::integer, folded
        FROM chat_session_counts, unnest(n || days::bigint[]) WITH ORDINALITY u (folded, place) WHERE slot = -1 AND /* accounts */
        UNION ALL
        SELECT user_id, month, status, (place - 1)::integer, -total
        FROM chat_session_totals, unnest(n || days::bigint[]) WITH ORDINALITY u (total, place) WHERE /* accounts */
      ) folded_less_totals (user_id, month, status, d, k)
      GROUP BY 1, 2, 3, 4 HAVING sum(k) <> 0) lacking
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, month, status) DO UPDATE SET n = t.n + excluded.n, days = counts_add_days(t.days, excluded.days)
    $sql$, '/* accounts */', accounts);
  INSERT INTO chat_session_counted VALUES (coalesce(NEW.account, everybody), true)
  ON CONFLICT (user_id) DO UPDATE SET has_totals = true;
  IF NEW.account IS NULL THEN
    DELETE FROM chat_session_counted WHERE user_id <> everybody;
  END IF;
  RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER counts_run_task INSTEAD OF INSERT ON chat_session_tasks FOR EACH ROW EXECUTE FUNCTION counts_run_task();

CREATE OR REPLACE PROCEDURE backfill_chat_sessions_of(account uuid) LANGUAGE plpgsql AS $$
BEGIN
  -- Two concurrent backfills would both add what is missing. The next statement takes its snapshot after the lock.
  PERFORM pg_advisory_xact_lock(counts_lock());
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'the backfill needs READ COMMITTED, not %', upper(current_setting('transaction_isolation'));
  END IF;
  IF row_security_active('chat_sessions') THEN
    RAISE EXCEPTION 'row level security on chat_sessions hides rows from %', current_user
      USING HINT = 'Run this as the tables'' owner without FORCE ROW LEVEL SECURITY, or as a role with BYPASSRLS.';
  END IF;
  INSERT INTO chat_session_tasks VALUES ('count', account);
END
$$;

-- Folds all rows of the slots, 1,000 in a transaction. Optional: writers fold too, a few rows at a time.
CREATE OR REPLACE PROCEDURE fold_chat_session_counts() LANGUAGE plpgsql AS $$
DECLARE
  account uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  LOOP
    account := (SELECT user_id FROM chat_session_counts WHERE user_id > account AND slot >= 0 ORDER BY user_id LIMIT 1);
    EXIT WHEN account IS NULL;
    LOOP
      PERFORM pg_advisory_xact_lock_shared(counts_lock());
      PERFORM pg_advisory_xact_lock(counts_fold_lock_class(), counts_fold_lock_key(account));
      IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'folding needs READ COMMITTED, not %', upper(current_setting('transaction_isolation'));
      END IF;
      INSERT INTO chat_session_tasks VALUES ('fold', account);
      EXIT WHEN NOT FOUND;
      COMMIT;
    END LOOP;
    COMMIT;
  END LOOP;
END
$$;

CREATE OR REPLACE PROCEDURE backfill_chat_sessions() LANGUAGE plpgsql AS $$
DECLARE
  report_every CONSTANT interval := '5 s';
  about CONSTANT bigint := (SELECT greatest(1, reltuples) FROM pg_class WHERE oid = 'chat_sessions'::regclass);
  accounts bigint := 0;
  done bigint := 0;
  account uuid := '00000000-0000-0000-0000-000000000000';
  reported timestamptz := clock_timestamp();
BEGIN
  LOOP
    account := (SELECT user_id FROM chat_sessions WHERE user_id > account ORDER BY user_id LIMIT 1);
    EXIT WHEN account IS NULL;
    CONTINUE WHEN EXISTS (SELECT FROM chat_session_counted WHERE user_id = account AND has_totals);
    CALL backfill_chat_sessions_of(account);
    COMMIT;
    accounts := accounts + 1;
    done := done + coalesce((SELECT sum(n) FROM chat_session_counts WHERE user_id = account), 0);
    IF clock_timestamp() > reported + report_every THEN
      RAISE NOTICE 'counts: % accounts with % of about % sessions, % %%', accounts, done, about, least(100, 100 * done / about);
      reported := clock_timestamp();
    END IF;
  END LOOP;
  CALL backfill_chat_sessions_of(NULL);
  DELETE FROM chat_session_counts WHERE slot = -1 AND n = 0 AND 0 = ALL (days);
  DELETE FROM chat_session_totals WHERE n = 0 AND 0 = ALL (days);
  -- As in counts_remove_accounts.
  IF NOT row_security_active('users') THEN
    DELETE FROM chat_session_counts c WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = c.user_id);
    DELETE FROM chat_session_totals t WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = t.user_id);
  END IF;
  COMMIT;
  RAISE NOTICE 'counts: % accounts with % sessions done', accounts, done;
END
$$;

CALL counts_revoke_execute();

CALL backfill_chat_messages();
CALL backfill_chat_sessions();
CALL fold_chat_session_counts();

-- The backfill has updated every session: remove the dead rows, so that index-only scans stay fast.
VACUUM (ANALYZE) chat_sessions;
ANALYZE chat_session_counts, chat_session_totals;
