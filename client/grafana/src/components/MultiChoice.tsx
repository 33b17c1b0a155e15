import { useId } from 'react';
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

/** Several of a list, by name: the list box of @grafana/ui takes its name from another element alone. */
export function MultiChoice({ name, options, values, onChange, ...rest }: Props) {
  const id = useId();
  return (
    <>
      <span id={id} className={hidden}>
        {name}
      </span>
      <MultiCombobox
        {...rest}
        aria-labelledby={id}
        width="auto"
        options={options}
        value={values.map((value) => ({ value, label: value }))}
        onChange={(chosen) => onChange(chosen.map((o) => o.value))}
      />
    </>
  );
}

const hidden = css({ position: 'absolute', width: 1, height: 1, overflow: 'hidden', clipPath: 'inset(50%)', whiteSpace: 'nowrap' });
