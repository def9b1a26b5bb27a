-- A database like the product's: its roles, default privileges, row level security and publication. The first migration
-- provides the tables and their trigger, which is not SECURITY DEFINER.
-- Roles belong to the server, and another test may create the same ones concurrently.
DO $$
DECLARE
  r text;
BEGIN
  FOREACH r IN ARRAY '{anon,authenticated,service_role BYPASSRLS}'::text[] LOOP
    BEGIN
      EXECUTE 'CREATE ROLE ' || r;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
    END;
  END LOOP;
END
$$;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;

CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
  $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;

-- migrations/0001_tables.sql
CREATE TABLE api_keys (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name         text NOT NULL,
  key_prefix   text NOT NULL,
  key_hash     text NOT NULL UNIQUE,
  is_active    boolean DEFAULT true,
  last_used_at timestamptz,
  created_at   timestamptz DEFAULT now()
);

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_widgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_user ON users FOR SELECT USING (auth.uid() = id);
CREATE POLICY own_widgets ON chat_widgets FOR ALL USING (auth.uid() = user_id);
CREATE POLICY own_sessions ON chat_sessions FOR SELECT USING (auth.uid() = user_id);
CREATE POLICY own_messages ON chat_messages FOR SELECT
  USING (EXISTS (SELECT FROM chat_sessions s WHERE s.id = session_id AND s.user_id = auth.uid()));
CREATE POLICY own_replies ON chat_messages FOR INSERT
  WITH CHECK (EXISTS (SELECT FROM chat_sessions s WHERE s.id = session_id AND s.user_id = auth.uid()));
CREATE POLICY own_keys ON api_keys FOR ALL USING (auth.uid() = user_id);

CREATE PUBLICATION supabase_realtime FOR TABLE chat_sessions, chat_messages;

-- Like the host, enables row level security for every new table of the schema.
CREATE FUNCTION enable_row_security() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE schema_name = 'public' AND object_type = 'table' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', r.object_identity);
  END LOOP;
END
$$;
CREATE EVENT TRIGGER enable_row_security ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
  EXECUTE FUNCTION enable_row_security();
