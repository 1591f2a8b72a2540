// The commands of the page: one list that the palette (Ctrl+K) and the list of shortcuts (?) read.

/**
 * @typedef {object} Command
 * @property {string} id
 * @property {string} label What the palette and the list of shortcuts show.
 * @property {() => unknown} run
 * @property {string} [keys] "Mod+K" (Ctrl, or Cmd on a Mac), or a single key such as "n", which works outside fields.
 * @property {string} [group] The heading in the palette. Default: "Actions".
 * @property {() => boolean} [available] False while the command cannot run.
 * @property {boolean} [isData] True if the label is a name from outside, which is never translated.
 */

/** @type {Map<string, Command>} */
const commands = new Map();
/** @type {(() => Promise<Command[]> | Command[])[]} */
const sources = [];

/**
 * Add a command, or replace the one with its id. Return a function that removes it.
 * @param {Command} command
 */
export function addCommand(command) {
  commands.set(command.id, command);
  return () => commands.get(command.id) === command && commands.delete(command.id);
}

/**
 * Add a function that returns more commands each time the palette opens, such as one for each chat.
 * @param {() => Promise<Command[]> | Command[]} source
 */
export const addCommandSource = (source) => void sources.push(source);

/** @param {Command} command */
const isAvailable = (command) => !command.available || command.available();

/** Return the commands that can run now, in the order in which they were added. */
export const availableCommands = () => [...commands.values()].filter(isAvailable);

/** Return all commands with a shortcut. */
export const commandsWithKeys = () => [...commands.values()].filter(({ keys }) => keys);

/** Return the commands of each source that answers, when they come. A source that fails has none. */
export const commandsOfSources = () => sources.map(async (source) => (await source()).filter(isAvailable));
