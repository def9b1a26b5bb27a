-- Maintains the number of sessions of each account by widget, status and day, by triggers.
--
-- `chat_session_counts` has a row for each account, widget, status and month (in UTC): the month's sessions in `n`, and those
-- of each day in an element of `days`. A writer counts in the slot of its connection, 0 to 15, so writers of one account
-- seldom wait for each other. A slot may be negative; the sum over the slots is exact. Folding moves rows from the slots to
-- slot -1 and adds them to `chat_session_totals`, which is the sum of slot -1 over all widgets. So an account's total is the
-- sum of its totals and of its slots, and a widget's total is the sum of its rows. A session whose created_at is NULL or
-- before 4713 BC is counted in the month -infinity, which no from_date reaches.
--
-- The function reads an account from here once `chat_session_counted` has a row with `has_totals` for the account or for all
-- accounts (the nil UUID). The backfill inserts that row. The file may run again at any time, also on an earlier version of
-- the set.

BEGIN;

-- As in 1_columns.sql. The locks wait for open transactions, so every session is seen by the triggers or by the backfill.
SET LOCAL lock_timeout = '500ms';
SET LOCAL client_min_messages = warning;
LOCK TABLE users, chat_sessions IN SHARE ROW EXCLUSIVE MODE;
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

DO $$
BEGIN
  IF to_regprocedure('counts_revoke_execute()') IS NULL THEN
    RAISE EXCEPTION 'run 1_columns.sql of this version first';
  END IF;
  -- This foreign key guarantees that nothing writes sessions of an account while it is deleted.
  IF NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND conrelid = 'chat_sessions'::regclass AND confrelid = 'users'::regclass
      AND convalidated AND NOT condeferrable)
  THEN
    RAISE EXCEPTION 'chat_sessions needs a valid foreign key to users, not deferrable';
  END IF;
END
$$;

-- Every new session updates a row here. Half of each page stays free so that the new row version fits next to the old one
-- and no index is touched. Vacuum starts by the number of updates and hardly depends on the size of the table.
CREATE TABLE IF NOT EXISTS chat_session_counts (
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL, -- '' for NULL as well
  slot      smallint NOT NULL,
  n         bigint NOT NULL,
  days      integer[] NOT NULL,
  PRIMARY KEY (user_id, widget_id, month, status, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE IF NOT EXISTS chat_session_totals (
  user_id uuid NOT NULL,
  month   date NOT NULL,
  status  text NOT NULL,
  n       bigint NOT NULL,
  days    integer[] NOT NULL,
  PRIMARY KEY (user_id, month, status)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE IF NOT EXISTS chat_session_counted (user_id uuid PRIMARY KEY);
-- Accounts counted before there were totals are computed until the backfill has run again.
ALTER TABLE chat_session_counted ADD COLUMN IF NOT EXISTS has_totals boolean NOT NULL DEFAULT false;

-- An earlier key had the month before the widget, so the total of one widget read the whole account.
DO $$
BEGIN
  IF (SELECT conkey[2] = 2 FROM pg_constraint WHERE conrelid = 'chat_session_counts'::regclass AND contype = 'p') THEN
    ALTER TABLE chat_session_counts DROP CONSTRAINT chat_session_counts_pkey,
      ADD PRIMARY KEY (user_id, widget_id, month, status, slot);
  END IF;
END
$$;
-- The rows that are not folded yet, for an account's total and for folding.
CREATE INDEX IF NOT EXISTS chat_session_counts_slots ON chat_session_counts (user_id, slot, month) WHERE slot >= 0;

-- The changes of a transaction that changes many sessions, summed and counted as it commits. Without it, a statement that
-- closes 100,000 sessions would update a few rows 100,000 times and read all their versions each time. Other transactions
-- never see a row of it, so it can be unlogged, and created again here.
DROP TABLE IF EXISTS chat_session_changes;
CREATE UNLOGGED TABLE chat_session_changes (
  xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id        bigint GENERATED ALWAYS AS IDENTITY,
  user_id   uuid NOT NULL,
  month     date NOT NULL,
  widget_id uuid NOT NULL,
  status    text NOT NULL,
  day       integer NOT NULL,
  n         integer NOT NULL,
  PRIMARY KEY (xid, id)
);

-- The procedures write through this view, because rows inserted outside of a trigger are skipped (counts_skip_loaded_row).
CREATE OR REPLACE VIEW chat_session_tasks AS SELECT NULL::text AS task, NULL::uuid AS account WHERE false;

DO $$
BEGIN
  IF EXISTS (SELECT FROM chat_session_counted)
    AND (SELECT count(*) FROM pg_trigger
         WHERE tgrelid = 'chat_sessions'::regclass AND tgname ~ '^(counts|kept)_sessions?_' AND tgenabled = 'O') <> 4
  THEN
    RAISE EXCEPTION 'a trigger of the set is missing or disabled: run drop.sql and install the set again';
  END IF;
END
$$;

-- An earlier version of the set used other names. Its fold_chat_session_counts is replaced by 3_backfill.sql.
DROP TRIGGER IF EXISTS kept_sessions_inserted ON chat_sessions;
DROP TRIGGER IF EXISTS kept_sessions_deleted ON chat_sessions;
DROP TRIGGER IF EXISTS kept_session_updated ON chat_sessions;
DROP TRIGGER IF EXISTS kept_sessions_truncated ON chat_sessions;
DROP TRIGGER IF EXISTS kept_users_deleted ON users;
DROP TRIGGER IF EXISTS kept_not_loaded ON chat_session_counts;
DROP TRIGGER IF EXISTS kept_not_loaded ON chat_session_totals;
DROP TRIGGER IF EXISTS kept_not_loaded ON chat_session_counted;
DROP TRIGGER IF EXISTS kept_task ON chat_session_tasks;
DROP PROCEDURE IF EXISTS keep_chat_sessions(), keep_chat_sessions_of(uuid);
DROP FUNCTION IF EXISTS kept_sessions_counted(), kept_session_updated(), kept_changes_counted(), kept_sessions_truncated(),
  kept_sessions_deleted(), kept_users_deleted(), kept_forget(uuid[]), kept_not_loaded(), kept_task(),
  kept_count(uuid, date, uuid, text, integer, integer), kept_count_each(refcursor), kept_count_changes(bigint),
  kept_fold(uuid, date), kept_fold(uuid, date, integer), kept_fold_rows(tid[]), kept_try_fold(uuid), kept_fold_key(uuid),
  kept_fold_class(), kept_lock(), kept_sum(integer[], integer[]), kept_days(integer[], integer[]), kept_slot(),
  kept_day(timestamptz), kept_month(timestamptz);

-- date_trunc cannot return the month in which PostgreSQL's time begins.
CREATE OR REPLACE FUNCTION counts_month(at timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS
  $$ SELECT CASE WHEN at >= '4713-01-01 00:00:00+00 BC' THEN date_trunc('month', at AT TIME ZONE 'UTC')::date ELSE '-infinity' END $$;
CREATE OR REPLACE FUNCTION counts_day(at timestamptz) RETURNS integer IMMUTABLE LANGUAGE sql AS
  $$ SELECT coalesce(date_part('day', at AT TIME ZONE 'UTC')::integer, 1) $$;

-- The slot of this connection. The number of slots is defined only here. The backfill and folding write to slot -1.
CREATE OR REPLACE FUNCTION counts_slot() RETURNS smallint STABLE LANGUAGE sql AS
  $$ SELECT (pg_backend_pid() % 16)::smallint $$;

-- The array of a month's days: k[i] for day d[i], and 0 for the other days.
CREATE OR REPLACE FUNCTION counts_days(d integer[], k integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS
  $$ SELECT array_agg(coalesce(u.k, 0) ORDER BY i) FROM generate_series(1, 31) i LEFT JOIN unnest(d, k) u (d, k) ON u.d = i $$;
-- Written out because unnest with array_agg is ten times slower, and folding does little else.
CREATE OR REPLACE FUNCTION counts_add_days(a integer[], b integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS $$
  SELECT ARRAY[
    a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7], a[8] + b[8],
    a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12], a[13] + b[13], a[14] + b[14], a[15] + b[15],
    a[16] + b[16], a[17] + b[17], a[18] + b[18], a[19] + b[19], a[20] + b[20], a[21] + b[21], a[22] + b[22],
    a[23] + b[23], a[24] + b[24], a[25] + b[25], a[26] + b[26], a[27] + b[27], a[28] + b[28], a[29] + b[29],
    a[30] + b[30], a[31] + b[31]]
$$;

-- Writers fold under a shared lock with this key and a lock for the account. The backfill, the only other writer of slot -1,
-- holds this one exclusively. So nothing waits for a row of slot -1. The number is the one that earlier versions of the set
-- used, because a backfill of theirs may still be running.
CREATE OR REPLACE FUNCTION counts_lock() RETURNS bigint IMMUTABLE LANGUAGE sql AS
  $$ SELECT -3253582674821386281 $$;
-- All accounts share 256 locks, so that loading 100,000 accounts in one transaction does not fill the lock table.
CREATE OR REPLACE FUNCTION counts_fold_lock_class() RETURNS integer IMMUTABLE LANGUAGE sql AS $$ SELECT hashtext('chat_session_counts') $$;
CREATE OR REPLACE FUNCTION counts_fold_lock_key(account uuid) RETURNS integer IMMUTABLE LANGUAGE sql AS $$ SELECT uuid_hash(account) & 255 $$;
CREATE OR REPLACE FUNCTION counts_try_fold_lock(account uuid) RETURNS boolean LANGUAGE sql AS $$
  SELECT pg_try_advisory_xact_lock_shared(counts_lock())
         AND pg_try_advisory_xact_lock(counts_fold_lock_class(), counts_fold_lock_key(account))
$$;

-- Moves rows of the slots, which the caller has locked, to slot -1 and adds them to the totals. Deletes the rows of slot -1
-- that are then zero, such as those of a deleted widget.
CREATE OR REPLACE FUNCTION counts_fold_rows(rows tid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  empty tid[];
BEGIN
  WITH folded AS (
    DELETE FROM chat_session_counts WHERE ctid = ANY (rows) RETURNING *
  ), sums AS (
    SELECT user_id, month, status, widget_id, grouping(widget_id) AS is_total, sum(n) AS n, ARRAY[
      sum(days[1]), sum(days[2]), sum(days[3]), sum(days[4]), sum(days[5]), sum(days[6]), sum(days[7]), sum(days[8]),
      sum(days[9]), sum(days[10]), sum(days[11]), sum(days[12]), sum(days[13]), sum(days[14]), sum(days[15]),
      sum(days[16]), sum(days[17]), sum(days[18]), sum(days[19]), sum(days[20]), sum(days[21]), sum(days[22]),
      sum(days[23]), sum(days[24]), sum(days[25]), sum(days[26]), sum(days[27]), sum(days[28]), sum(days[29]),
      sum(days[30]), sum(days[31])]::integer[] AS days
    FROM folded GROUP BY GROUPING SETS ((1, 2, 3, 4), (1, 2, 3))
  ), widgets AS (
    INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
    SELECT user_id, month, widget_id, status, -1, n, days FROM sums WHERE is_total = 0
    ON CONFLICT (user_id, widget_id, month, status, slot)
    DO UPDATE SET n = c.n + excluded.n, days = counts_add_days(c.days, excluded.days)
    RETURNING ctid, n, days
  ), totals AS (
    INSERT INTO chat_session_totals AS t (user_id, month, status, n, days)
    SELECT user_id, month, status, n, days FROM sums WHERE is_total = 1
    ON CONFLICT (user_id, month, status) DO UPDATE SET n = t.n + excluded.n, days = counts_add_days(t.days, excluded.days)
  )
  SELECT array_agg(ctid) INTO empty FROM widgets WHERE n = 0 AND 0 = ALL (days);
  IF empty IS NOT NULL THEN
    DELETE FROM chat_session_counts WHERE ctid = ANY (empty);
  END IF;
END
$$;

-- Called by a writer that inserted rows into its slot. Folds a bounded number of rows for each and never waits. If the slot
-- has too many rows, folds any of them, so that a reader sums at most about 16 times rows_max. Otherwise folds past months of
-- this slot and of a random one, whose connection may have ended.
CREATE OR REPLACE FUNCTION counts_fold(account uuid, before date, made integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  rows_max CONSTANT integer := 64;
  past_max CONSTANT integer := 4;
  fold_max CONSTANT integer := 14 + 2 * made;
  own CONSTANT smallint := counts_slot();
  other CONSTANT smallint := (random() * 15)::smallint;
  slots smallint[] := '{}';
  until date := 'infinity';
  rows tid[];
BEGIN
  IF EXISTS (SELECT FROM chat_session_counts WHERE user_id = account AND slot = own AND slot >= 0 OFFSET rows_max) THEN
    slots := ARRAY[own];
  ELSE
    until := before - 1;
    IF EXISTS (SELECT FROM chat_session_counts
               WHERE user_id = account AND slot = own AND slot >= 0 AND month <= until OFFSET past_max) THEN
      slots := ARRAY[own];
    END IF;
    IF EXISTS (SELECT FROM chat_session_counts
               WHERE user_id = account AND slot = other AND slot >= 0 AND month <= until OFFSET past_max) THEN
      slots := slots || other;
    END IF;
  END IF;
  IF slots <> '{}' AND current_setting('transaction_isolation') = 'read committed' AND counts_try_fold_lock(account) THEN
    rows := ARRAY(SELECT ctid FROM chat_session_counts
                  WHERE user_id = account AND slot = ANY (slots) AND slot >= 0 AND month <= until
                  LIMIT fold_max FOR UPDATE SKIP LOCKED);
    PERFORM counts_fold_rows(rows);
  END IF;
END
$$;

-- Adds k sessions to one day and returns whether the row had to be inserted. It nearly always exists, and UPDATE is a quarter
-- cheaper than INSERT … ON CONFLICT.
CREATE OR REPLACE FUNCTION counts_add(account uuid, first date, widget uuid, state text, d integer, k integer)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  month_days integer[];
BEGIN
  UPDATE chat_session_counts SET n = n + k, days[d] = days[d] + k
  WHERE user_id = account AND month = first AND widget_id = widget AND status = state AND slot = counts_slot();
  IF FOUND THEN
    RETURN false;
  END IF;
  month_days := array_fill(0, ARRAY[31]);
  month_days[d] := k;
  INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
  VALUES (account, first, widget, state, counts_slot(), k, month_days)
  ON CONFLICT (user_id, widget_id, month, status, slot) DO UPDATE SET n = c.n + excluded.n, days[d] = c.days[d] + k;
  RETURN true;
END
$$;

-- Counts the rows of a query in its order and folds last, because folding locks rows that another writer may need next.
CREATE OR REPLACE FUNCTION counts_add_each(changes refcursor) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g record;
  accounts uuid[];
  months date[];
BEGIN
  LOOP
    FETCH changes INTO g;
    EXIT WHEN NOT FOUND;
    IF counts_add(g.user_id, g.month, g.widget_id, g.status, g.day, g.n) THEN
      accounts := accounts || g.user_id;
      months := months || g.month;
    END IF;
  END LOOP;
  CLOSE changes;
  PERFORM counts_fold(account, max(month), count(*)::integer)
  FROM unnest(accounts, months) made (account, month) GROUP BY account;
END
$$;

-- Nearly always it is one session. Several are counted in a fixed order, so that two statements cannot deadlock, and grouped,
-- so that a COPY updates a row of counts once for each day.
CREATE OR REPLACE FUNCTION counts_sessions_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  is_made boolean;
  many refcursor;
BEGIN
  SELECT counts_add(user_id, counts_month(created_at), widget_id, coalesce(status, ''), counts_day(created_at), 1)
  INTO is_made FROM changed WHERE NOT EXISTS (SELECT FROM changed OFFSET 1);
  IF NOT FOUND THEN
    OPEN many FOR
      SELECT user_id, counts_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
             counts_day(created_at) AS day, count(*)::integer AS n
      FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
    PERFORM counts_add_each(many);
  ELSIF is_made THEN
    PERFORM counts_fold(user_id, counts_month(created_at), 1) FROM changed;
  END IF;
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION counts_sessions_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  many refcursor;
BEGIN
  OPEN many FOR
    SELECT user_id, counts_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
           counts_day(created_at) AS day, -count(*)::integer AS n
    FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
  PERFORM counts_add_each(many);
  PERFORM counts_remove_accounts(ARRAY(SELECT DISTINCT user_id FROM changed));
  RETURN NULL;
END
$$;

-- Counts the first 16 changes of a transaction immediately and defers the others to its commit. A setting holds their number:
-- a client that overwrites it changes when they are counted, and nothing else.
CREATE OR REPLACE FUNCTION counts_session_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  setting CONSTANT text := current_setting('counts.changed', true);
  number CONSTANT integer := CASE WHEN setting ~ '^[0-9]{1,2}$' THEN setting ELSE '0' END;
  at_once_max CONSTANT integer := 16;
  g record;
  made record;
BEGIN
  IF number >= at_once_max THEN
    INSERT INTO chat_session_changes (user_id, month, widget_id, status, day, n) VALUES
      (OLD.user_id, counts_month(OLD.created_at), OLD.widget_id, coalesce(OLD.status, ''), counts_day(OLD.created_at), -1),
      (NEW.user_id, counts_month(NEW.created_at), NEW.widget_id, coalesce(NEW.status, ''), counts_day(NEW.created_at), 1);
    RETURN NULL;
  END IF;
  PERFORM set_config('counts.changed', (number + 1)::text, true);
  FOR g IN
    SELECT user_id, counts_month(created_at) AS month, widget_id, coalesce(status, '') AS status, counts_day(created_at) AS day, n
    FROM (VALUES (OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at, -1),
                 (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at, 1)) v (user_id, widget_id, status, created_at, n)
    ORDER BY 1, 2, 3, 4, 5
  LOOP
    IF counts_add(g.user_id, g.month, g.widget_id, g.status, g.day, g.n) THEN
      made := g;
    END IF;
  END LOOP;
  IF made IS NOT NULL THEN
    PERFORM counts_fold(made.user_id, made.month, 1);
  END IF;
  RETURN NULL;
END
$$;

-- Counts this transaction's deferred changes, beginning with the given one.
CREATE OR REPLACE FUNCTION counts_apply_changes(since bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  changes refcursor;
BEGIN
  OPEN changes FOR
    SELECT user_id, month, widget_id, status, day, sum(n)::integer AS n FROM chat_session_changes
    WHERE xid = pg_current_xact_id() AND id >= since
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4, 5;
  PERFORM counts_add_each(changes);
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id() AND id >= since;
END
$$;

-- Called at commit for each deferred change, in order. The first whose row still exists counts it and all that follow.
CREATE OR REPLACE FUNCTION counts_changes_deferred() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM chat_session_changes WHERE xid = NEW.xid AND id = NEW.id) THEN
    PERFORM counts_apply_changes(NEW.id);
  END IF;
  RETURN NULL;
END
$$;

-- TRUNCATE is not MVCC-safe: an older snapshot sees an empty table, for the sessions and for their counts alike.
-- https://www.postgresql.org/docs/current/mvcc-caveats.html
CREATE OR REPLACE FUNCTION counts_sessions_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  TRUNCATE chat_session_counts, chat_session_totals;
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id();
  RETURN NULL;
END
$$;

-- Removes the rows of deleted accounts. Called when sessions and when accounts are deleted, in the order in which PostgreSQL
-- fires the triggers; the last call finds counts whose sum is 0. No other transaction can be writing the account's sessions:
-- it would hold a lock on the account's row or on theirs. The loop is needed because folding may insert a row between two passes.
-- A sum other than 0 means that the account is not backfilled yet, or that this REPEATABLE READ transaction does not see all
-- of its rows. Then the end of the backfill removes them.
CREATE OR REPLACE FUNCTION counts_remove_accounts(accounts uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  accounts := ARRAY(SELECT id FROM unnest(accounts) a (id) WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = a.id));
  -- An account may still exist if row level security hides it.
  IF accounts = '{}' OR row_security_active('users') THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock_shared(counts_lock());
  PERFORM counts_apply_changes(0);
  accounts := ARRAY(SELECT id FROM unnest(accounts) id
                    WHERE (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE user_id = id) = 0);
  LOOP
    DELETE FROM chat_session_counts WHERE user_id = ANY (accounts);
    EXIT WHEN NOT FOUND;
  END LOOP;
  DELETE FROM chat_session_totals WHERE user_id = ANY (accounts);
  DELETE FROM chat_session_counted WHERE user_id = ANY (accounts);
END
$$;

CREATE OR REPLACE FUNCTION counts_users_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM counts_remove_accounts(ARRAY(SELECT id FROM gone));
  RETURN NULL;
END
$$;

-- Skips the rows of another database's counts when data is loaded, because the triggers count the loaded sessions.
CREATE OR REPLACE FUNCTION counts_skip_loaded_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER counts_skip_loaded_row BEFORE INSERT ON chat_session_counts FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION counts_skip_loaded_row();
CREATE OR REPLACE TRIGGER counts_skip_loaded_row BEFORE INSERT ON chat_session_totals FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION counts_skip_loaded_row();
CREATE OR REPLACE TRIGGER counts_skip_loaded_row BEFORE INSERT ON chat_session_counted FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION counts_skip_loaded_row();

CREATE OR REPLACE TRIGGER counts_sessions_inserted AFTER INSERT ON chat_sessions
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION counts_sessions_inserted();
CREATE OR REPLACE TRIGGER counts_sessions_deleted AFTER DELETE ON chat_sessions
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION counts_sessions_deleted();
-- For each row: every message updates its session, and transition tables would make each of these updates slower.
CREATE OR REPLACE TRIGGER counts_session_updated AFTER UPDATE ON chat_sessions FOR EACH ROW
  WHEN ((OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at)
        IS DISTINCT FROM (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at))
  EXECUTE FUNCTION counts_session_updated();
-- Each change has two rows; this fires for the first.
CREATE CONSTRAINT TRIGGER counts_changes_deferred AFTER INSERT ON chat_session_changes DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.n = -1) EXECUTE FUNCTION counts_changes_deferred();
CREATE OR REPLACE TRIGGER counts_sessions_truncated AFTER TRUNCATE ON chat_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION counts_sessions_truncated();
CREATE OR REPLACE TRIGGER counts_users_deleted AFTER DELETE ON users
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION counts_users_deleted();

-- Only the owner may read the tables, even if default privileges granted new tables to others; docs/role.sql grants its
-- role what the function reads and must run again after the first installation. A role that may read the counts of an earlier
-- version of the set may also read the totals.
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(a.grantee::regrole::text) END AS grantee
    FROM pg_class, aclexplode(relacl) a
    WHERE oid = ANY (ARRAY['chat_session_counts', 'chat_session_counted', 'chat_session_totals', 'chat_session_changes',
                           'chat_session_changes_id_seq', 'chat_session_tasks']::regclass[])
      AND a.grantee <> relowner
      -- Grants made after the backfill are intended.
      AND NOT (relname = 'chat_session_totals' AND EXISTS (SELECT FROM chat_session_counted WHERE has_totals)
               OR relname IN ('chat_session_counts', 'chat_session_counted') AND EXISTS (SELECT FROM chat_session_counted))
  LOOP
    EXECUTE format('REVOKE ALL ON %I FROM %s', r.relname, r.grantee);
  END LOOP;
  FOR r IN
    SELECT DISTINCT quote_ident(a.grantee::regrole::text) AS grantee FROM pg_class, aclexplode(relacl) a
    WHERE oid = 'chat_session_counts'::regclass AND a.grantee NOT IN (0, relowner) AND a.privilege_type = 'SELECT'
  LOOP
    EXECUTE format('GRANT SELECT ON chat_session_totals TO %s', r.grantee);
  END LOOP;
END
$$;
CALL counts_revoke_execute();

COMMIT;
