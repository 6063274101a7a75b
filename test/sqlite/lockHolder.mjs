import Sqlite from "better-sqlite3"

const [filename, begin] = process.argv.slice(2)
const db = new Sqlite(filename)
db.exec(begin)
process.on("message", () => {
  db.exec("COMMIT")
  process.send("gone")
})
process.send("locked")
