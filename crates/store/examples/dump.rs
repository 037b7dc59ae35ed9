//! Writes a database as SQL text, from which it can be made again: how a release keeps a small data
//! directory as a fixture. `cargo run -p tenure-store --example dump -- DIR/tenure.db > database.sql`

use rusqlite::{Connection, OpenFlags};

fn main() -> rusqlite::Result<()> {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("say which database");
        std::process::exit(2);
    };
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    println!("BEGIN;");
    let mut made = db.prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL
         AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    )?;
    let made: Vec<(String, String, String)> = made
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (_, _, sql) in &made {
        println!("{sql};");
    }
    for (_, table, _) in made.iter().filter(|(kind, _, _)| kind == "table") {
        let columns: Vec<String> = db
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let quoted: Vec<_> = columns
            .iter()
            .map(|column| format!("quote(\"{column}\")"))
            .collect();
        let mut rows = db.prepare(&format!(
            "SELECT {} FROM \"{table}\"",
            quoted.join(" || ',' || ")
        ))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let values: String = row.get(0)?;
            println!("INSERT INTO \"{table}\" VALUES({values});");
        }
    }
    println!("COMMIT;");
    Ok(())
}
