import { FocusEvent, useId, useState } from 'react';
import { css } from '@emotion/css';
import { ComboboxOption, MultiCombobox } from '@grafana/ui';

interface Props {
  /** What it is called by those who cannot see what stands before it. */
  name: string;
  options: Array<ComboboxOption<string>> | ((typed: string) => Promise<Array<ComboboxOption<string>>>);
  values: string[];
  placeholder: string;
  minWidth: number;
  maxWidth: number;
  createCustomValue?: boolean;
  onChange: (values: string[]) => void;
}

/** A chosen value takes its letters and the room of its button, as the list box counts them; it also takes off its own buttons and the number of values that it does not show. */
const roomFor = (values: string[]) => Math.ceil((values.reduce((sum, value) => sum + 7 * value.length + 50, 0) + (values.length > 1 ? 110 : 60)) / 8);

/**
 * Several of a list, by name: the list box of @grafana/ui takes its name from another element alone. It grows with what is chosen, and what was typed and
 * not chosen is gone when it is left, also where its list was closed before.
 */
export function MultiChoice({ name, options, values, onChange, minWidth, maxWidth, ...rest }: Props) {
  const id = useId();
  const [round, setRound] = useState(0);
  const onBlur = (e: FocusEvent) => {
    if (e.target instanceof HTMLInputElement && e.target.value && e.target.getAttribute('aria-expanded') === 'false') {
      setRound(round + 1);
    }
  };
  return (
    <span onBlur={onBlur}>
      <span id={id} className={hidden}>
        {name}
      </span>
      <MultiCombobox
        {...rest}
        key={round}
        aria-labelledby={id}
        width="auto"
        minWidth={Math.min(Math.max(roomFor(values), minWidth), maxWidth)}
        maxWidth={maxWidth}
        options={options}
        value={values.map((value) => ({ value, label: value }))}
        onChange={(chosen) => onChange(chosen.map((o) => o.value))}
      />
    </span>
  );
}

const hidden = css({ position: 'absolute', width: 1, height: 1, overflow: 'hidden', clipPath: 'inset(50%)', whiteSpace: 'nowrap' });
