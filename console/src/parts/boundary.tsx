import { Component, type ReactNode } from "react";

/** An error of ours while drawing: say so and stay usable, rather than an empty page. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <div className="notice bad" role="alert">
        <strong>This page could not be drawn.</strong>
        <p>{this.state.error.message}. This is a fault of the console; the router is not touched by it.</p>
        <button type="button" className="button" onClick={() => location.reload()}>
          Load again
        </button>
      </div>
    );
  }
}
