-- Kept counts: how many sessions an account has, by widget, status and day.
--
-- `chat_session_counts` has a row for each account, widget, status and month (in UTC), with the month's sessions in `n` and
-- each day's in an element of `days`. A writer counts in the slot of its connection, 0 to 15, so writers of one account
-- seldom wait for each other. A slot may be negative; the sum is exact. Folding moves rows of the slots to slot -1 and adds
-- them to `chat_session_totals`, which has the sum of slot -1 over the widgets. So an account's total is the sum of its
-- totals and of its slots, and a widget's the sum of its rows. A session without created_at, and one before all time, is
-- counted in the month -infinity, which no from_date reaches. The function reads an account from here once
-- `chat_session_counted` names it, or names everybody (the nil UUID), with `has_totals`: the backfill does that.
-- May run again at any time, also on the set as it was before it had totals.

BEGIN;

-- As in 1_columns.sql. No session that is being written now escapes both the triggers and the backfill.
SET LOCAL lock_timeout = '500ms';
SET LOCAL client_min_messages = warning;
LOCK TABLE users, chat_sessions IN SHARE ROW EXCLUSIVE MODE;
SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true);

-- That nobody writes sessions of an account that is being deleted follows from the usual reference.
DO $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND conrelid = 'chat_sessions'::regclass AND confrelid = 'users'::regclass
      AND convalidated AND NOT condeferrable)
  THEN
    RAISE EXCEPTION 'chat_sessions must have a valid reference to users, not deferrable';
  END IF;
END
$$;

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
-- What was counted before there were totals is not named until the backfill has come by again.
ALTER TABLE chat_session_counted ADD COLUMN IF NOT EXISTS has_totals boolean NOT NULL DEFAULT false;

-- The key of before had the month before the widget, so one widget's total read the whole account.
DO $$
BEGIN
  IF (SELECT conkey[2] = 2 FROM pg_constraint WHERE conrelid = 'chat_session_counts'::regclass AND contype = 'p') THEN
    ALTER TABLE chat_session_counts DROP CONSTRAINT chat_session_counts_pkey,
      ADD PRIMARY KEY (user_id, widget_id, month, status, slot);
  END IF;
END
$$;
-- What is not folded yet: for an account's total, and for folding.
CREATE INDEX IF NOT EXISTS chat_session_counts_slots ON chat_session_counts (user_id, slot, month) WHERE slot >= 0;

-- What a transaction changes of many sessions, until its end adds it up. Counted one by one, a statement that closes a
-- hundred thousand sessions would write a few rows as many times, and read all their versions every time. For everybody
-- else the table is empty, so a crash may empty it too, and it can be made again here.
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

-- The procedures write through this view, so that triggers alone insert into the set's tables.
CREATE OR REPLACE VIEW chat_session_tasks AS SELECT NULL::text AS task, NULL::uuid AS account WHERE false;

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

-- date_trunc knows no month before the one that time begins in.
CREATE OR REPLACE FUNCTION kept_month(at timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS
  $$ SELECT CASE WHEN at >= '4713-01-01 00:00:00+00 BC' THEN date_trunc('month', at AT TIME ZONE 'UTC')::date ELSE '-infinity' END $$;
CREATE OR REPLACE FUNCTION kept_day(at timestamptz) RETURNS integer IMMUTABLE LANGUAGE sql AS
  $$ SELECT coalesce(date_part('day', at AT TIME ZONE 'UTC')::integer, 1) $$;

-- The slot of this connection: the number of slots stands here alone. Slot -1 has what the backfill and folding add.
CREATE OR REPLACE FUNCTION kept_slot() RETURNS smallint STABLE LANGUAGE sql AS
  $$ SELECT (pg_backend_pid() % 16)::smallint $$;

-- A month's days: k at the places d, and 0 elsewhere.
CREATE OR REPLACE FUNCTION kept_days(d integer[], k integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS
  $$ SELECT array_agg(coalesce(u.k, 0) ORDER BY i) FROM generate_series(1, 31) i LEFT JOIN unnest(d, k) u (d, k) ON u.d = i $$;
-- Written out: with unnest and array_agg this is ten times slower, and folding does little else.
CREATE OR REPLACE FUNCTION kept_sum(a integer[], b integer[]) RETURNS integer[] IMMUTABLE LANGUAGE sql AS $$
  SELECT ARRAY[
    a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7], a[8] + b[8],
    a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12], a[13] + b[13], a[14] + b[14], a[15] + b[15],
    a[16] + b[16], a[17] + b[17], a[18] + b[18], a[19] + b[19], a[20] + b[20], a[21] + b[21], a[22] + b[22],
    a[23] + b[23], a[24] + b[24], a[25] + b[25], a[26] + b[26], a[27] + b[27], a[28] + b[28], a[29] + b[29],
    a[30] + b[30], a[31] + b[31]]
$$;

-- Writers fold while they hold this lock with others, and each account for itself. The backfill, the only other that
-- writes slot -1, holds it alone: so nobody waits for a row of slot -1.
CREATE OR REPLACE FUNCTION kept_lock() RETURNS bigint IMMUTABLE LANGUAGE sql AS
  $$ SELECT hashtextextended('keep_chat_sessions', 0) $$;
-- 256 locks for all accounts: a load of a hundred thousand accounts in one transaction must not fill the table of locks.
CREATE OR REPLACE FUNCTION kept_fold_class() RETURNS integer IMMUTABLE LANGUAGE sql AS $$ SELECT hashtext('kept_fold') $$;
CREATE OR REPLACE FUNCTION kept_fold_key(account uuid) RETURNS integer IMMUTABLE LANGUAGE sql AS $$ SELECT uuid_hash(account) & 255 $$;
CREATE OR REPLACE FUNCTION kept_try_fold(account uuid) RETURNS boolean LANGUAGE sql AS $$
  SELECT pg_try_advisory_xact_lock_shared(kept_lock())
         AND pg_try_advisory_xact_lock(kept_fold_class(), kept_fold_key(account))
$$;

-- Moves rows of slots, which the caller has locked, to slot -1 and to the totals. What comes to nothing there goes: so do
-- the rows of a deleted widget.
CREATE OR REPLACE FUNCTION kept_fold_rows(rows tid[]) RETURNS void LANGUAGE plpgsql AS $$
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
    DO UPDATE SET n = c.n + excluded.n, days = kept_sum(c.days, excluded.days)
    RETURNING ctid, n, days
  ), totals AS (
    INSERT INTO chat_session_totals AS t (user_id, month, status, n, days)
    SELECT user_id, month, status, n, days FROM sums WHERE is_total = 1
    ON CONFLICT (user_id, month, status) DO UPDATE SET n = t.n + excluded.n, days = kept_sum(t.days, excluded.days)
  )
  SELECT array_agg(ctid) INTO empty FROM widgets WHERE n = 0 AND 0 = ALL (days);
  IF empty IS NOT NULL THEN
    DELETE FROM chat_session_counts WHERE ctid = ANY (empty);
  END IF;
END
$$;

-- Called by who has made new rows in its slot: folds a bounded number of rows for each, and waits for nobody. First what is
-- more than a slot may have, so that a reader never sums much more than 16 times that; else past months, of this slot and of
-- another, which may have nobody any more.
CREATE OR REPLACE FUNCTION kept_fold(account uuid, before date, made integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  rows_max CONSTANT integer := 64;
  past_max CONSTANT integer := 4;
  fold_max CONSTANT integer := 14 + 2 * made;
  own CONSTANT smallint := kept_slot();
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
  IF slots <> '{}' AND current_setting('transaction_isolation') = 'read committed' AND kept_try_fold(account) THEN
    rows := ARRAY(SELECT ctid FROM chat_session_counts
                  WHERE user_id = account AND slot = ANY (slots) AND slot >= 0 AND month <= until
                  LIMIT fold_max FOR UPDATE SKIP LOCKED);
    PERFORM kept_fold_rows(rows);
  END IF;
END
$$;

-- The row is there nearly always, and to update it is cheaper than INSERT … ON CONFLICT by a quarter. Gives whether it
-- had to be made.
DROP FUNCTION IF EXISTS kept_count(uuid, date, uuid, text, integer, integer), kept_fold(uuid, date);
CREATE FUNCTION kept_count(account uuid, first date, widget uuid, state text, d integer, k integer)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  month_days integer[];
BEGIN
  UPDATE chat_session_counts SET n = n + k, days[d] = days[d] + k
  WHERE user_id = account AND month = first AND widget_id = widget AND status = state AND slot = kept_slot();
  IF FOUND THEN
    RETURN false;
  END IF;
  month_days := array_fill(0, ARRAY[31]);
  month_days[d] := k;
  INSERT INTO chat_session_counts AS c (user_id, month, widget_id, status, slot, n, days)
  VALUES (account, first, widget, state, kept_slot(), k, month_days)
  ON CONFLICT (user_id, widget_id, month, status, slot) DO UPDATE SET n = c.n + excluded.n, days[d] = c.days[d] + k;
  RETURN true;
END
$$;

-- Counts what a query gives, in its order, and folds only then: who folds has locked rows that another may want next.
CREATE OR REPLACE FUNCTION kept_count_each(changes refcursor) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  g record;
  accounts uuid[];
  months date[];
BEGIN
  LOOP
    FETCH changes INTO g;
    EXIT WHEN NOT FOUND;
    IF kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n) THEN
      accounts := accounts || g.user_id;
      months := months || g.month;
    END IF;
  END LOOP;
  CLOSE changes;
  PERFORM kept_fold(account, max(month), count(*)::integer)
  FROM unnest(accounts, months) made (account, month) GROUP BY account;
END
$$;

-- Nearly always it is one session. More are counted in one order, so that two statements never wait for each other, and so
-- grouped that a COPY writes each row of counts once for a day.
CREATE OR REPLACE FUNCTION kept_sessions_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  is_made boolean;
  many refcursor;
BEGIN
  SELECT kept_count(user_id, kept_month(created_at), widget_id, coalesce(status, ''), kept_day(created_at), 1)
  INTO is_made FROM changed WHERE NOT EXISTS (SELECT FROM changed OFFSET 1);
  IF NOT FOUND THEN
    OPEN many FOR
      SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
             kept_day(created_at) AS day, count(*)::integer AS n
      FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
    PERFORM kept_count_each(many);
  ELSIF is_made THEN
    PERFORM kept_fold(user_id, kept_month(created_at), 1) FROM changed;
  END IF;
  RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION kept_sessions_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  many refcursor;
BEGIN
  OPEN many FOR
    SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status,
           kept_day(created_at) AS day, -count(*)::integer AS n
    FROM changed GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
  PERFORM kept_count_each(many);
  PERFORM kept_forget(ARRAY(SELECT DISTINCT user_id FROM changed));
  RETURN NULL;
END
$$;

-- The first sixteen changes of a transaction are counted at once, the others as it ends. A setting has their number: who
-- writes something else there changes when they are counted, and nothing else.
CREATE OR REPLACE FUNCTION kept_session_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  setting CONSTANT text := current_setting('kept.changed', true);
  number CONSTANT integer := CASE WHEN setting ~ '^[0-9]{1,2}$' THEN setting ELSE '0' END;
  at_once_max CONSTANT integer := 16;
  g record;
  made record;
BEGIN
  IF number >= at_once_max THEN
    INSERT INTO chat_session_changes (user_id, month, widget_id, status, day, n) VALUES
      (OLD.user_id, kept_month(OLD.created_at), OLD.widget_id, coalesce(OLD.status, ''), kept_day(OLD.created_at), -1),
      (NEW.user_id, kept_month(NEW.created_at), NEW.widget_id, coalesce(NEW.status, ''), kept_day(NEW.created_at), 1);
    RETURN NULL;
  END IF;
  PERFORM set_config('kept.changed', (number + 1)::text, true);
  FOR g IN
    SELECT user_id, kept_month(created_at) AS month, widget_id, coalesce(status, '') AS status, kept_day(created_at) AS day, n
    FROM (VALUES (OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at, -1),
                 (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at, 1)) v (user_id, widget_id, status, created_at, n)
    ORDER BY 1, 2, 3, 4, 5
  LOOP
    IF kept_count(g.user_id, g.month, g.widget_id, g.status, g.day, g.n) THEN
      made := g;
    END IF;
  END LOOP;
  IF made IS NOT NULL THEN
    PERFORM kept_fold(made.user_id, made.month, 1);
  END IF;
  RETURN NULL;
END
$$;

-- Counts what this transaction has left for its end, from this change on.
CREATE OR REPLACE FUNCTION kept_count_changes(since bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  changes refcursor;
BEGIN
  OPEN changes FOR
    SELECT user_id, month, widget_id, status, day, sum(n)::integer AS n FROM chat_session_changes
    WHERE xid = pg_current_xact_id() AND id >= since
    GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 ORDER BY 1, 2, 3, 4, 5;
  PERFORM kept_count_each(changes);
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id() AND id >= since;
END
$$;

-- Called for each change that waits, in their order; the first whose row is still there counts it and all after it.
CREATE OR REPLACE FUNCTION kept_changes_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM chat_session_changes WHERE xid = NEW.xid AND id = NEW.id) THEN
    PERFORM kept_count_changes(NEW.id);
  END IF;
  RETURN NULL;
END
$$;

-- Whoever still sees the sessions of before sees neither them nor their counts: PostgreSQL's TRUNCATE is like that.
CREATE OR REPLACE FUNCTION kept_sessions_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  TRUNCATE chat_session_counts, chat_session_totals;
  DELETE FROM chat_session_changes WHERE xid = pg_current_xact_id();
  RETURN NULL;
END
$$;

-- A deleted account leaves nothing behind: whoever deletes its last session or itself, whichever PostgreSQL tells us last,
-- finds that the rest comes to nothing. Nobody else can be writing its sessions then, for he would hold its row, or theirs.
-- Folding may still put a row where another was, hence the loop. Where the rest is something, the backfill has yet to come,
-- or this REPEATABLE READ transaction does not see all of it: then the backfill's end removes it.
CREATE OR REPLACE FUNCTION kept_forget(accounts uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  accounts := ARRAY(SELECT id FROM unnest(accounts) a (id) WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = a.id));
  -- Of an account that row level security hides nobody can say that it is gone.
  IF accounts = '{}' OR row_security_active('users') THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock_shared(kept_lock());
  PERFORM kept_count_changes(0);
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

CREATE OR REPLACE FUNCTION kept_users_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM kept_forget(ARRAY(SELECT id FROM gone));
  RETURN NULL;
END
$$;

-- A load of data brings the rows of another database's set along. Here the triggers count what it loads.
CREATE OR REPLACE FUNCTION kept_not_loaded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER kept_not_loaded BEFORE INSERT ON chat_session_counts FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION kept_not_loaded();
CREATE OR REPLACE TRIGGER kept_not_loaded BEFORE INSERT ON chat_session_totals FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION kept_not_loaded();
CREATE OR REPLACE TRIGGER kept_not_loaded BEFORE INSERT ON chat_session_counted FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION kept_not_loaded();

CREATE OR REPLACE TRIGGER kept_sessions_inserted AFTER INSERT ON chat_sessions
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_counted();
CREATE OR REPLACE TRIGGER kept_sessions_deleted AFTER DELETE ON chat_sessions
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_deleted();
-- By row: a statement's tables of changes would cost every message something, for it updates its session.
CREATE OR REPLACE TRIGGER kept_session_updated AFTER UPDATE ON chat_sessions FOR EACH ROW
  WHEN ((OLD.user_id, OLD.widget_id, OLD.status, OLD.created_at)
        IS DISTINCT FROM (NEW.user_id, NEW.widget_id, NEW.status, NEW.created_at))
  EXECUTE FUNCTION kept_session_updated();
-- Of a change's two rows the first.
CREATE CONSTRAINT TRIGGER kept_changes_counted AFTER INSERT ON chat_session_changes DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.n = -1) EXECUTE FUNCTION kept_changes_counted();
CREATE OR REPLACE TRIGGER kept_sessions_truncated AFTER TRUNCATE ON chat_sessions
  FOR EACH STATEMENT EXECUTE FUNCTION kept_sessions_truncated();
CREATE OR REPLACE TRIGGER kept_users_deleted AFTER DELETE ON users
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION kept_users_deleted();

-- Where default privileges give every new table to the roles of an API, these are not theirs, nor anybody's but the
-- owner's; docs/role.sql grants its own role what it reads, and is to be run again after the first time. Who was granted
-- the counts before there were totals may read these too.
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
      -- What has been granted since the set is filled in was meant so.
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
-- Nor are the functions: to fire a trigger needs no right to its function, and these run as their owner.
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT p.oid::regprocedure AS routine, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(a.grantee::regrole::text) END AS grantee
    FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE pronamespace = current_schema()::regnamespace AND proname ~ '^(kept|keep_chat|fold_chat)_' AND a.grantee <> proowner
  LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', r.routine, r.grantee);
  END LOOP;
END
$$;

COMMIT;
