import type { AnsweredPositions } from "../Driver.js"
import type { ReplicationPosition } from "../ReplicationPosition.js"

/** What is asked of a connection's positions, and told with its answers, where a server can tell before a statement too. */
export class ToldPosition implements AnsweredPositions {
  readonly guards = true
  private asked: "before" | "after" | undefined
  private told: ReplicationPosition | undefined

  readonly expect = (when: "before" | "after"): void => {
    this.asked = when
    this.told = undefined
  }

  readonly take = (): ReplicationPosition | undefined => {
    const { told } = this
    this.told = undefined
    return told
  }

  /** When the statement that begins now is to be told of; the next one is not. */
  begin(): "before" | "after" | undefined {
    const { asked } = this
    this.asked = undefined
    return asked
  }

  tell(position: ReplicationPosition | undefined): void {
    this.told = position
  }
}
