-- Kept counts: how many sessions an account has, by widget, status and day.
--
-- A session is counted in the row of its account, widget, status and month (in UTC), and there in `n` and in its day's
-- element of `days`, in the slot of the connection that has written it: so writers of one account seldom wait for each
-- other. A slot may be negative; their sum is exact. A session without created_at, and one before all time, stands in the
-- month -infinity, which no from_date reaches. An account is read from here once `chat_session_counted` names it, or names
-- everybody (the nil UUID), which the backfill does. May run again at any time.

BEGIN;

-- As in 1_columns.sql. No session that is being written now escapes both the triggers and the backfill.
SET LOCAL lock_timeout = '500ms';
LOCK TABLE chat_sessions IN SHARE ROW EXCLUSIVE MODE;
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- Every insert updates a row here: half of each page is left free so that the new version fits beside the old one and no
-- index is touched, and vacuum comes by the number of updates, whatever the size of the table.
CREATE TABLE IF NOT EXISTS chat_session_counts (
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL, -- '' for NULL as well
  slot      smallint NOT NULL,
  n         bigint NOT NULL,
  days      integer[] NOT NULL,
  PRIMARY KEY (user_id, month, widget_id, status, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE IF NOT EXISTS chat_session_counted (user_id uuid PRIMARY KEY);

-- What a transaction changes of many sessions, until its end adds it up. Counted one by one, a statement that closes a
-- hundred thousand sessions would write a few rows as many times, and read all their versions every time. For everybody
-- else the table is empty, so a crash may empty it too.
CREATE UNLOGGED TABLE IF NOT EXISTS chat_session_changes (
  xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL,
  day       integer NOT NULL,
  n         integer NOT NULL
);
CREATE INDEX IF NOT EXISTS chat_session_changes_xid ON chat_session_changes (xid);

-- Where default privileges give every new table to the roles of an API, these three are not theirs, nor anybody's but the
-- owner's; docs/role.sql grants its own role what it reads, and is to be run again after the first time.
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(a.grantee::regrole::text) END AS grantee
    FROM pg_class, aclexplode(relacl) a
    WHERE oid IN ('chat_session_counts'::regclass, 'chat_session_counted'::regclass, 'chat_session_changes'::regclass)
      AND a.grantee <> relowner
      AND NOT EXISTS (SELECT FROM chat_session_counted)
  LOOP
    EXECUTE format('REVOKE ALL ON %I FROM %s', r.relname, r.grantee);
  END LOOP;
END
$$;

DO $$
BEGIN
  IF EXISTS (SELECT FROM chat_session_counted)
    AND (SELECT count(*) FROM pg_trigger
         WHERE tgrelid = 'chat_sessions'::regclass AND tgname ~ '^kept_sessions?_' AND tgenabled = 'O') <> 4
  THEN
    RAISE EXCEPTION 'a trigger of the set is missing or disabled: run drop.sql and install the set anew';
  END IF;
END
$$;

CREATE OR REPLACE FUNCTION kept_month(at timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS
  $$ SELECT coalesce(date_trunc('month', at AT TIME ZONE 'UTC')::date, '-infinity') $$;
CREATE OR REPLACE FUNCTION kept_day(at timestamptz) RETURNS integer IMMUTABLE LANGUAGE sql AS
  $$ SELECT coalesce(date_part('day', at AT TIME ZONE 'UTC')::integer, 1) $$;

-- The slot of this connection: the number of slots stands here alone. Slot -1 has what the backfill and kept_fold add.
CREATE OR REPLACE FUNCTION kept_slot() RETURNS smallint STABLE LANGUAGE sql AS
  $$ SELECT (pg_backend_pid() % 16)::smallint $$;

-- A month's days: k at the places d, and 0 elsewhere.
CREATE OR REPLACE FUNCTION kept_days(d integer[], k integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS
  $$ SELECT array_agg(coalesce(u.k, 0) ORDER BY i) FROM generate_series(1, 31) i LEFT JOIN unnest(d, k) u (d, k) ON u.d = i $$;
CREATE OR REPLACE FUNCTION kept_sum(a integer[], b integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS
  $$ SELECT array_agg(u.a + u.b ORDER BY i) FROM unnest(a, b) WITH ORDINALITY u (a, b, i) $$;

-- Adds the slots of an account's past months together in slot -1, so that what a reader sums does not grow by 16 rows a
-- month. Who cannot have a row at once leaves it for the next month.
CREATE OR REPLACE FUNCTION kept_fold(account uuid, before date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  r chat_session_counts;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed'
    OR NOT pg_try_advisory_xact_lock(hashtextextended('kept_fold ' || account, 0))
  THEN
    RETURN;
  END IF;
  FOR r IN
    WITH past AS (
      DELETE FROM chat_session_counts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM chat_session_counts
        WHERE user_id = account AND month < before AND slot >= 0 FOR UPDATE SKIP LOCKED)) RETURNING *)
    SELECT * FROM past ORDER BY month, widget_id, status
  LOOP
    INSERT INTO chat_session_counts AS c VALUES (r.user_id, r.month, r.widget_id, r.status, -1, r.n, r.days)
    ON CONFLICT (user_id, month, widget_id, status, slot)
    DO UPDATE SET n = c.n + excluded.n, days = kept_sum(c.days, excluded.days);
  END LOOP;
END
$$;

-- The row is there nearly always, and to update it is cheaper than INSERT … ON CONFLICT by a quarter.
CREATE OR REPLACE FUNCTION kept_count(account uuid, first date, widget uuid, state text, d integer, k integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE chat_session_counts SET n = n + k, days[d] = days[d] + k
  WHERE user_id = account AND month = first AND widget_id = widget AND status = state AND slot = kept_slot();
  IF NOT FOUND THEN
    INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
    VALUES (account, first, widget, state, kept_slot(), k, kept_days(ARRAY[d], ARRAY[k]))
    ON CONFLICT (user_id, month, widget_id, status, slot) DO UPDATE SET n = c.n + excluded.n, days[d] = c.days[d] + k;
    PERFORM kept_fold(account, first);
  END IF;
END
$$;

-- Nearly always it is one session. More are counted in the order of the primary key, so that two statements never wait for
-- each other, and so grouped that a COPY writes each row of counts once for a day.
CREATE OR REPLACE FUNCTION kept_sessions_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  k CONSTANT integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
  g record;
BEGIN
  PERFORM kept_count(user_id, kept_month(created_at), widget_id, coalesce(status, ''), kept_day(created_at), k)
  FROM changed WHERE NOT EXISTS (SELECT FROM changed OFFSET 1);
  IF NOT FOUND THEN
    FOR g IN
      SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
             kept_day(created_at) AS day, k * count(*)::integer AS n
      FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    LOOP
      PERFORM kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n);
    END LOOP;
  END IF;
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION kept_session_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  at_once_max CONSTANT integer := 16;
  before CONSTANT integer := coalesce(nullif(current_setting('kept.changed', true), ''), '0');
  g record;
BEGIN
  PERFORM set_config('kept.changed', (before + 1)::text, true);
  IF before >= at_once_max THEN
    PERFORM set_config('kept.counted', '', true);
    INSERT INTO chat_session_changes (user_id, month, widget_id, status, day, n) VALUES
      (OLD.user_id, kept_month(OLD.created_at), OLD.widget_id, coalesce(OLD.status, ''), kept_day(OLD.created_at), -1),
      (NEW.user_id, kept_month(NEW.created_at), NEW.widget_id, coalesce(NEW.status, ''), kept_day(NEW.created_at), 1);
    RETURN NULL;
  END IF;
  FOR g IN
    SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status, kept_day(created_at) AS day, n
    FROM (VALUES (OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at, -1),
                 (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at, 1)) v (user_id, widget_id, status, created_at, n)
    ORDER BY 1, 2, 3, 4, 5
  LOOP
    PERFORM kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n);
  END LOOP;
  RETURN NULL;
END
$$;

-- Called for each change that waits, as the transaction ends; the first call does it all. Whoever resets the setting in
-- between (RESET ALL) has it done once more, and nothing is left to do.
CREATE OR REPLACE FUNCTION kept_changes_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  g record;
BEGIN
  IF current_setting('kept.counted', true) = '1' THEN
    RETURN NULL;
  END IF;
  PERFORM set_config('kept.counted', '1', true);
  FOR g IN
    WITH mine AS (DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id() RETURNING *)
    SELECT user_id, month, widget_id, status, day, sum(n)::integer AS n FROM mine
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4, 5
  LOOP
    PERFORM kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n);
  END LOOP;
  RETURN NULL;
END
$$;

-- Whoever still sees the sessions of before sees neither them nor their counts: PostgreSQL's TRUNCATE is like that.
CREATE OR REPLACE FUNCTION kept_sessions_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  TRUNCATE chat_session_counts;
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id();
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER kept_sessions_inserted AFTER INSERT ON chat_sessions
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_counted();
CREATE OR REPLACE TRIGGER kept_sessions_deleted AFTER DELETE ON chat_sessions
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_counted();
-- By row: a statement's tables of changes would cost every message something, for it updates its session.
CREATE OR REPLACE TRIGGER kept_session_updated AFTER UPDATE ON chat_sessions FOR EACH ROW
  WHEN ((OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at)
        IS DISTINCT FROM (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at))
  EXECUTE FUNCTION kept_session_updated();
DROP TRIGGER IF EXISTS kept_changes_counted ON chat_session_changes;
CREATE CONSTRAINT TRIGGER kept_changes_counted AFTER INSERT ON chat_session_changes DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.n = 1) EXECUTE FUNCTION kept_changes_counted();
CREATE OR REPLACE TRIGGER kept_sessions_truncated AFTER TRUNCATE ON chat_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_truncated();

COMMIT;
