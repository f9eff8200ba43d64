import { flagOf, type Variable, variables } from './variables.ts'

const all: readonly Variable<unknown>[] = Object.values(variables)

/** What `--help` prints. */
export function helpText(): string {
  const rows = all.map((variable) => {
    const value = variable.default === undefined ? '' : ` [${variable.default}]`
    return `  ${variable.name}, --${flagOf(variable.name)}${variable.isSwitch ? '' : ' VALUE'}\n      ${variable.meaning}${value}`
  })
  return `fileloft: a tus server for resumable uploads

Usage: fileloft [command] [flags]

Commands:
  serve      answer requests (the default)
  check      check the configuration and the store, and exit
  health     ask the server that runs with these settings whether it lives, and exit
  sweep      remove expired uploads once, and exit
  import     take over what tusd, @tus/server or fileloft for Rust have stored in
             the directory, and exit; --dry-run only tells what it would do
  sign       print a signed upload URL (fileloft sign --help)
  upload     upload files to a tus server (fileloft upload --help)
  hooks      list the hooks that wait to be delivered and those that were given up, and exit
  hooks replay ID... | --all
             send those again that were given up, and exit

  -h, --help       show this
  -V, --version    show the version

Every setting is a variable or a flag; the flag wins. [default]

${rows.join('\n')}
`
}

/** The settings as a table for the documentation. */
export function settingsTable(): string {
  const rows = all.map(({ name, meaning, ...variable }) => {
    const value = variable.default === undefined ? '' : `\`${variable.default}\``
    return `| \`${name}\` | \`--${flagOf(name)}\` | ${value} | ${meaning.replaceAll('|', '\\|')} |`
  })
  return ['| Variable | Flag | Default | Meaning |', '|---|---|---|---|', ...rows].join('\n')
}
