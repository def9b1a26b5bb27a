# Runs PostgreSQL until its owner ends. The owner holds the other end of our standard input: however it ends, even by
# kill -9, the pipe closes, `read` returns and PostgreSQL is stopped.
#
# sh watchdog.sh FOLDER PG_CTL POSTGRES [ARGUMENT]...
#   FOLDER/data     the data folder
#   FOLDER/log      the output of PostgreSQL
#   FOLDER/ended    created when PostgreSQL has ended
#   FOLDER/kept     if it exists, FOLDER is never removed
#   the word "keep" on standard input stops PostgreSQL but keeps FOLDER, so that it can be started again
folder=$1
pg_ctl=$2
shift 2
exec 3<&0 </dev/null

"$@" >>"$folder/log" 2>&1 3<&- &
postgres=$!

# A second process waits for the owner, even if the first is killed.
(
  read -r word <&3
  [ "$word" != keep ] || : >"$folder/keep"
  [ -e "$folder/ended" ] || kill -QUIT "$postgres"
) 2>/dev/null &

wait "$postgres"
: >"$folder/ended"
wait

if [ -e "$folder/keep" ]; then
  rm -f "$folder/keep"
elif [ ! -e "$folder/kept" ]; then
  # PostgreSQL may have been started on this folder by hand.
  [ ! -e "$folder/data/postmaster.pid" ] || "$pg_ctl" stop -D "$folder/data" -m immediate -s >/dev/null 2>&1
  rm -rf "$folder"
fi
