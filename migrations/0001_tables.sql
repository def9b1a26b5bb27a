-- The product's tables, for a database that does not have them.
--
-- On the product's own database every table is there already and nothing below happens. Each table stands in a guard
-- of its own rather than behind CREATE TABLE IF NOT EXISTS, because its indexes and its trigger must follow it: a table
-- that was there keeps exactly the indexes and triggers that it had. That also makes it safe to run this file again.

DO $$
BEGIN
  IF to_regclass('users') IS NULL THEN
    CREATE TABLE users (
      id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      email text
    );
  END IF;
END
$$;

DO $$
BEGIN
  IF to_regclass('chat_widgets') IS NULL THEN
    CREATE TABLE chat_widgets (
      id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      name    text
    );
  END IF;
END
$$;

-- status and both times can be NULL in the product, so they can here.
DO $$
BEGIN
  IF to_regclass('chat_sessions') IS NULL THEN
    CREATE TABLE chat_sessions (
      id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      widget_id       uuid NOT NULL REFERENCES chat_widgets (id) ON DELETE CASCADE,
      user_id         uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      visitor_id      text NOT NULL,
      visitor_name    text,
      visitor_email   text,
      page_url        text,
      browser_info    jsonb,
      status          text DEFAULT 'active',
      last_message_at timestamptz DEFAULT now(),
      created_at      timestamptz DEFAULT now()
    );
    CREATE INDEX idx_chat_sessions_user_id ON chat_sessions (user_id, last_message_at DESC);
    CREATE INDEX idx_chat_sessions_widget_id ON chat_sessions (widget_id);
  END IF;
END
$$;

DO $$
BEGIN
  IF to_regclass('chat_messages') IS NULL THEN
    CREATE TABLE chat_messages (
      id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
      session_id uuid NOT NULL REFERENCES chat_sessions (id) ON DELETE CASCADE,
      role       text NOT NULL CHECK (role IN ('visitor', 'agent', 'system')),
      content    text NOT NULL,
      read_at    timestamptz,
      created_at timestamptz DEFAULT now()
    );
    CREATE INDEX idx_chat_messages_session_id ON chat_messages (session_id, created_at);

    CREATE FUNCTION set_chat_session_last_message_at() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      UPDATE chat_sessions SET last_message_at = now() WHERE id = NEW.session_id;
      RETURN NEW;
    END
    $body$;
    CREATE TRIGGER chat_messages_set_last_message_at
      AFTER INSERT ON chat_messages
      FOR EACH ROW EXECUTE FUNCTION set_chat_session_last_message_at();
  END IF;
END
$$;
