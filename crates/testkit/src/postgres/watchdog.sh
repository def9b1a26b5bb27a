# Runs PostgreSQL for as long as its owner lives. The owner holds the other end of our standard input and never has to
# do anything: however it ends, a kill -9 included, the pipe closes, `read` returns and PostgreSQL goes.
#
# sh watchdog.sh FOLDER PG_CTL POSTGRES [ARGUMENT]...
#   FOLDER/data     the data folder
#   FOLDER/log      what PostgreSQL says
#   FOLDER/ended    appears when PostgreSQL has ended
#   FOLDER/kept     if it is there, FOLDER stays whatever happens
#   the word "keep" on standard input ends PostgreSQL but leaves FOLDER, so that it can be started again
folder=$1
pg_ctl=$2
shift 2
exec 3<&0 </dev/null

"$@" >>"$folder/log" 2>&1 3<&- &
postgres=$!

# A second process waits for the owner: it does so even if the first is killed.
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
  # Someone may have started PostgreSQL on this folder by hand after it had ended.
  [ ! -e "$folder/data/postmaster.pid" ] || "$pg_ctl" stop -D "$folder/data" -m immediate -s >/dev/null 2>&1
  rm -rf "$folder"
fi
